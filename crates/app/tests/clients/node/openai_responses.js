// The official OpenAI library's newer way of asking.

import assert from "node:assert/strict";
import OpenAI from "openai";
import { ok, question, raises, right, token, url, version } from "./common.js";

version("openai");
const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: token, maxRetries: 0 });

const reply = await client.responses.create({ model: "tiny", input: question, temperature: 0 });
assert.equal(reply.output_text, right);
ok("responses");

const stream = client.responses.stream({ model: "tiny", input: question, temperature: 0 });
const kinds = [];
for await (const event of stream) kinds.push(event.type);
assert.equal((await stream.finalResponse()).output_text, right);
assert.deepEqual([kinds[0], kinds.at(-1)], ["response.created", "response.completed"]);
ok("responses stream");

const second = await client.responses.create({ model: "fake", input: "Again", previous_response_id: reply.id });
assert.equal(second.previous_response_id, reply.id);
await client.responses.delete(reply.id);
await raises(OpenAI.NotFoundError, () => client.responses.retrieve(reply.id));
ok("responses state");
