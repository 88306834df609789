// The AI SDK with its provider for servers that are compatible with OpenAI's.

import assert from "node:assert/strict";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, embedMany, generateText, jsonSchema, streamText, tool } from "ai";
import { ok, parameters, question, raises, right, token, url, version, weather } from "./common.js";

version("ai");
version("@ai-sdk/openai-compatible");
const provider = createOpenAICompatible({ name: "penstock", baseURL: `${url}/v1`, apiKey: token, includeUsage: true });
const model = provider("tiny");

const reply = await generateText({ model, prompt: question, temperature: 0, maxRetries: 0 });
assert.equal(reply.text, right);
assert.ok(reply.usage.totalTokens > 0);
ok("chat");

const stream = streamText({ model, prompt: question, temperature: 0, maxRetries: 0 });
let said = "";
for await (const text of stream.textStream) said += text;
assert.equal(said, right);
assert.equal((await stream.usage).totalTokens, reply.usage.totalTokens);
assert.equal(await stream.finishReason, "stop");
ok("chat stream");

const tools = { get_weather: tool({ description: "The weather in a city.", inputSchema: jsonSchema(parameters) }) };
const [call] = (await generateText({ model, prompt: weather, tools, temperature: 0, maxRetries: 0 })).toolCalls;
assert.deepEqual([call.toolName, call.input], ["get_weather", { city: "Paris" }]);
const streaming = streamText({ model, prompt: weather, tools, temperature: 0, maxRetries: 0 });
const [streamed] = await streaming.toolCalls;
assert.deepEqual(streamed.input, call.input);
ok("tools");

const vectors = await embedMany({ model: provider.embeddingModel("tiny"), values: ["France", "Paris"], maxRetries: 0 });
assert.deepEqual(vectors.embeddings.map((vector) => vector.length), [128, 128]);
ok("embeddings");

const error = await raises(APICallError, () => generateText({ model: provider("gpt-9"), prompt: question, maxRetries: 0 }));
assert.equal(error.statusCode, 404);
assert.match(error.message, /gpt-9/);
const broken = streamText({ model: provider("cut"), prompt: question, maxRetries: 0, onError: () => {} });
const parts = [];
for await (const part of broken.fullStream) parts.push(part.type);
assert.ok(parts.includes("error"), `${parts}`);
ok("errors");

const leaving = new AbortController();
const endless = streamText({ model: provider("endless"), prompt: question, maxRetries: 0, abortSignal: leaving.signal });
let count = 0;
for await (const _ of endless.textStream) {
  count += 1;
  if (count === 3) leaving.abort();
}
ok("cancel");
