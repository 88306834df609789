"""The official OpenAI library, as its users use it."""

import openai
from common import POOR, QUESTION, RIGHT, TOKEN, TOOL, URL, Waited, ok, raises, version

version("openai")
client = openai.OpenAI(base_url=f"{URL}/v1", api_key=TOKEN, max_retries=0)
chat = client.chat.completions

# Chat, whole and as a stream.
reply = chat.create(model="tiny", messages=QUESTION, temperature=0, max_tokens=32)
assert reply.choices[0].message.content == RIGHT, reply
assert reply.choices[0].finish_reason == "stop" and reply.usage.total_tokens > 0
assert reply._request_id
ok("chat")

stream = chat.create(model="tiny", messages=QUESTION, temperature=0, stream=True, stream_options={"include_usage": True})
chunks = list(stream)
assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == RIGHT
assert [chunk for chunk in chunks if chunk.usage] == [chunks[-1]] and chunks[-1].choices == []
ok("chat stream")

with chat.stream(model="tiny", messages=QUESTION, temperature=0) as events:
    assert events.get_final_completion().choices[0].message.content == RIGHT
ok("chat stream helper")

limited = chat.create(model="tiny", messages=QUESTION, temperature=0, max_completion_tokens=2)
assert limited.choices[0].finish_reason == "length", limited
scored = chat.create(model="tiny", messages=QUESTION, temperature=0, logprobs=True, top_logprobs=2)
assert scored.choices[0].logprobs.content[0].top_logprobs[1].logprob < 0
ok("chat options")

# Tools, whole and in fragments.
weather = [{"role": "user", "content": "What is the weather in Paris?"}]
reply = chat.create(model="tiny", messages=weather, tools=[TOOL], temperature=0, max_tokens=64)
call = reply.choices[0].message.tool_calls[0]
assert reply.choices[0].finish_reason == "tool_calls" and call.function.name == "get_weather"
assert call.function.arguments == '{"city": "Paris"}', call
with chat.stream(model="tiny", messages=weather, tools=[TOOL], temperature=0, max_tokens=64) as events:
    streamed = events.get_final_completion().choices[0].message.tool_calls[0]
assert streamed.function.name == "get_weather" and streamed.function.arguments == call.function.arguments
ok("tools")

# Completions, embeddings (base64 unless told otherwise), models.
text = client.completions.create(model="tiny", prompt="The capital of France is", max_tokens=4, temperature=0)
streamed = client.completions.create(model="tiny", prompt="The capital of France is", max_tokens=4, temperature=0, stream=True)
assert "".join(chunk.choices[0].text for chunk in streamed) == text.choices[0].text != ""
ok("completions")

coded = client.embeddings.create(model="tiny", input=["France", "Paris"])
floats = client.embeddings.create(model="tiny", input=["France", "Paris"], encoding_format="float")
for one, other in zip(coded.data, floats.data, strict=True):
    assert len(one.embedding) == len(other.embedding) == 128
    assert all(abs(a - b) < 1e-6 for a, b in zip(one.embedding, other.embedding, strict=True))
fake = client.embeddings.create(model="floats-only", input=["a", "b"])
assert [one.embedding for one in fake.data] == [[0.0, 0.5, 0.25], [1.0, 0.5, 0.25]], fake
ok("embeddings")

assert "tiny" in [model.id for model in client.models.list()] and client.models.retrieve("org/model").id == "org/model"
ok("models")

# Each error as the library's own exception.
error = raises(openai.NotFoundError, lambda: chat.create(model="gpt-9", messages=QUESTION))
assert error.code == "model_not_found" and error.request_id, error
stranger = openai.OpenAI(base_url=f"{URL}/v1", api_key="psk_wrong", max_retries=0)
assert raises(openai.AuthenticationError, lambda: stranger.models.list()).code == "invalid_api_key"
error = raises(openai.BadRequestError, lambda: chat.create(model="tiny", messages=[{"role": "user", "content": "word " * 5000}]))
assert error.code == "context_length_exceeded" and error.param == "messages"
poor = openai.OpenAI(base_url=f"{URL}/v1", api_key=POOR, max_retries=0)
raises(openai.PermissionDeniedError, lambda: poor.chat.completions.create(model="tiny", messages=QUESTION))
poor.chat.completions.create(model="fake", messages=QUESTION)
error = raises(openai.RateLimitError, lambda: poor.chat.completions.create(model="fake", messages=QUESTION))
assert error.code == "rate_limit_exceeded" and int(error.response.headers["retry-after"]) > 0
raises(openai.InternalServerError, lambda: chat.create(model="broken", messages=QUESTION))
ok("errors")

error = raises(openai.APIError, lambda: list(chat.create(model="cut", messages=QUESTION, stream=True)))
assert "error" in str(error).lower() or error.message, error
ok("a stream that breaks is an exception")

# It waits as long as it is told, then asks again.
with Waited() as waited:
    reply = client.with_options(max_retries=2).chat.completions.create(model="busy-once", messages=QUESTION)
assert reply.choices[0].message.content == "Hello there." and waited.seconds >= 0.95, waited.seconds
ok("retry-after")

# Leaving.
stream = chat.create(model="endless", messages=QUESTION, stream=True)
for _, _chunk in zip(range(3), stream):
    pass
stream.close()
ok("cancel")
