import com.fasterxml.jackson.databind.ObjectMapper;
import java.time.Duration;
import java.time.Instant;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** Logs one prediction and, as if a month had passed, its label: see README.md beside it. */
public class LogEvents {
  static final String TOPIC = "driftline.events";

  public static void main(String[] arguments) throws Exception {
    String brokers = arguments.length > 0 ? arguments[0] : "127.0.0.1:9092";
    Instant now = Instant.now();

    // A missing value is null, or left out; Map.of takes no null.
    Map<String, Object> features = new HashMap<>();
    features.put("age", 41);
    features.put("plan", "pro");
    features.put("tenure", null);
    Map<String, Object> prediction =
        Map.of(
            "type", "prediction",
            "id", "java-7f3a",
            "model", "churn",
            "version", "3",
            "time", now.minus(Duration.ofDays(30)).toString(),
            "features", features,
            "prediction", Map.of("class", "stays", "score", 0.73));
    Map<String, Object> label =
        Map.of(
            "type", "label",
            "id", "java-7f3a",
            "model", "churn",
            "time", now.toString(),
            "label", 0);

    ObjectMapper json = new ObjectMapper();
    Map<String, Object> settings = Map.of("bootstrap.servers", brokers);
    try (KafkaProducer<byte[], byte[]> producer =
        new KafkaProducer<>(settings, new ByteArraySerializer(), new ByteArraySerializer())) {
      for (Map<String, Object> event : List.of(prediction, label)) {
        // A service would not wait for the answer; closing the producer flushes it.
        producer.send(new ProducerRecord<>(TOPIC, json.writeValueAsBytes(event))).get();
      }
    }
    System.out.println("logged 2 events");
  }
}
