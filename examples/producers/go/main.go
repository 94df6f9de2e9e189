// Logs one prediction and, as if a month had passed, its label: `go run . [BROKERS]`.
package main

import (
	"context"
	"encoding/json"
	"log"
	"os"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const topic = "driftline.events"

func main() {
	brokers := "127.0.0.1:9092"
	if len(os.Args) > 1 {
		brokers = os.Args[1]
	}
	client, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(brokers, ",")...),
		kgo.DefaultProduceTopic(topic),
	)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()

	now := time.Now().UTC()
	prediction := map[string]any{
		"type":    "prediction",
		"id":      "go-7f3a",
		"model":   "churn",
		"version": "3",
		"time":    now.Add(-30 * 24 * time.Hour).Format(time.RFC3339Nano),
		// A missing value is null, or left out.
		"features":   map[string]any{"age": 41, "plan": "pro", "tenure": nil},
		"prediction": map[string]any{"class": "stays", "score": 0.73},
	}
	label := map[string]any{
		"type":  "label",
		"id":    "go-7f3a",
		"model": "churn",
		"time":  now.Format(time.RFC3339Nano),
		"label": 0,
	}
	for _, event := range []map[string]any{prediction, label} {
		value, err := json.Marshal(event)
		if err != nil {
			log.Fatal(err)
		}
		// A service would call Produce, which does not wait.
		if err := client.ProduceSync(ctx, &kgo.Record{Value: value}).FirstErr(); err != nil {
			log.Fatal(err)
		}
	}
	log.Print("logged 2 events")
}
