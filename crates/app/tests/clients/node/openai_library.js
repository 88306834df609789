// The official OpenAI library for JavaScript, as its users use it.

import assert from "node:assert/strict";
import OpenAI from "openai";
import { ok, parameters, poor, question, raises, right, token, url, version, weather } from "./common.js";

version("openai");
const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: token, maxRetries: 0 });
const chat = client.chat.completions;
const messages = [{ role: "user", content: question }];

const reply = await chat.create({ model: "tiny", messages, temperature: 0 });
assert.equal(reply.choices[0].message.content, right);
assert.ok(reply._request_id && reply.usage.total_tokens > 0);
ok("chat");

let said = "";
let usage = null;
for await (const chunk of await chat.create({ model: "tiny", messages, temperature: 0, stream: true, stream_options: { include_usage: true } })) {
  said += chunk.choices[0]?.delta.content ?? "";
  usage = chunk.usage ?? usage;
}
assert.equal(said, right);
assert.deepEqual(usage.total_tokens, reply.usage.total_tokens);
assert.equal(await chat.stream({ model: "tiny", messages, temperature: 0 }).finalContent(), right);
ok("chat stream");

const tools = [{ type: "function", function: { name: "get_weather", description: "The weather in a city.", parameters } }];
const asked = { model: "tiny", messages: [{ role: "user", content: weather }], tools, temperature: 0, max_tokens: 64 };
const call = (await chat.create(asked)).choices[0].message.tool_calls[0];
assert.deepEqual([call.function.name, JSON.parse(call.function.arguments)], ["get_weather", { city: "Paris" }]);
const streamed = (await chat.stream(asked).finalChatCompletion()).choices[0].message.tool_calls[0];
assert.equal(streamed.function.arguments, call.function.arguments);
ok("tools");

// It asks for base64 unless told otherwise and decodes whatever comes, without looking.
const coded = await client.embeddings.create({ model: "tiny", input: ["France", "Paris"] });
const floats = await client.embeddings.create({ model: "tiny", input: ["France", "Paris"], encoding_format: "float" });
coded.data.forEach((one, place) => {
  const other = floats.data[place].embedding;
  assert.equal(one.embedding.length, 128);
  one.embedding.forEach((value, index) => assert.ok(Math.abs(value - other[index]) < 1e-6));
});
const fake = await client.embeddings.create({ model: "floats-only", input: ["a", "b"] });
assert.deepEqual(fake.data.map((one) => Array.from(one.embedding)), [[0, 0.5, 0.25], [1, 0.5, 0.25]]);
ok("embeddings");

const ids = [];
for await (const model of client.models.list()) ids.push(model.id);
assert.ok(ids.includes("tiny") && (await client.models.retrieve("org/model")).id === "org/model");
ok("models");

const missing = await raises(OpenAI.NotFoundError, () => chat.create({ model: "gpt-9", messages }));
assert.equal(missing.code, "model_not_found");
assert.ok(missing.requestID);
const stranger = new OpenAI({ baseURL: `${url}/v1`, apiKey: "psk_wrong", maxRetries: 0 });
await raises(OpenAI.AuthenticationError, () => stranger.models.list());
const spender = new OpenAI({ baseURL: `${url}/v1`, apiKey: poor, maxRetries: 0 });
await spender.chat.completions.create({ model: "fake", messages });
await raises(OpenAI.RateLimitError, () => spender.chat.completions.create({ model: "fake", messages }));
await raises(OpenAI.InternalServerError, () => chat.create({ model: "broken", messages }));
await raises(OpenAI.APIError, async () => {
  for await (const _ of await chat.create({ model: "cut", messages, stream: true }));
});
ok("errors");

const began = performance.now();
const patient = new OpenAI({ baseURL: `${url}/v1`, apiKey: token, maxRetries: 2 });
const late = await patient.chat.completions.create({ model: "busy-once", messages });
assert.equal(late.choices[0].message.content, "Hello there.");
assert.ok(performance.now() - began >= 950);
ok("retry-after");

const endless = await chat.create({ model: "endless", messages, stream: true });
let count = 0;
for await (const _ of endless) {
  count += 1;
  if (count === 3) break; // which aborts the call
}
ok("cancel");
