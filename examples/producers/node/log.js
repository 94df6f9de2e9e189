// Logs one prediction and, as if a month had passed, its label: `node log.js [BROKERS]`.
import { Producer, stringSerializers } from "@platformatic/kafka";

const topic = "driftline.events";
const producer = new Producer({
  clientId: "churn-service",
  bootstrapBrokers: (process.argv[2] ?? "127.0.0.1:9092").split(","),
  serializers: stringSerializers,
});

const now = new Date();
const monthAgo = new Date(now.getTime() - 30 * 24 * 3600 * 1000);
const prediction = {
  type: "prediction",
  id: "node-7f3a",
  model: "churn",
  version: "3",
  time: monthAgo.toISOString(),
  // A missing value is null, or left out.
  features: { age: 41, plan: "pro", tenure: null },
  prediction: { class: "stays", score: 0.73 },
};
const label = { type: "label", id: "node-7f3a", model: "churn", time: now.toISOString(), label: 0 };

await producer.send({
  messages: [prediction, label].map((event) => ({ topic, value: JSON.stringify(event) })),
});
await producer.close();
console.log("logged 2 events");
