"""LiteLLM as a client: what its users put in front of everything."""

import os

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # its table of prices from its own package, not from the network

import litellm  # noqa: E402
from common import QUESTION, RIGHT, TOKEN, TOOL, URL, ok, raises, version  # noqa: E402

version("litellm")
place = {"api_base": f"{URL}/v1", "api_key": TOKEN, "max_retries": 0, "num_retries": 0}

reply = litellm.completion(model="openai/tiny", messages=QUESTION, temperature=0, **place)
assert reply.choices[0].message.content == RIGHT and reply.usage.total_tokens > 0, reply
chunks = list(litellm.completion(model="openai/tiny", messages=QUESTION, temperature=0, stream=True, stream_options={"include_usage": True}, **place))
assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == RIGHT
assert chunks[-1].usage.total_tokens == reply.usage.total_tokens, chunks[-1]
ok("chat")

weather = [{"role": "user", "content": "What is the weather in Paris?"}]
call = litellm.completion(model="openai/tiny", messages=weather, tools=[TOOL], temperature=0, **place).choices[0].message.tool_calls[0]
assert call.function.name == "get_weather" and call.function.arguments == '{"city": "Paris"}', call
ok("tools")

vectors = litellm.embedding(model="openai/tiny", input=["France", "Paris"], **place)
assert len(vectors.data) == 2 and len(vectors.data[0]["embedding"]) == 128
ok("embeddings")

raises(litellm.NotFoundError, lambda: litellm.completion(model="openai/gpt-9", messages=QUESTION, **place))
raises(litellm.AuthenticationError, lambda: litellm.completion(model="openai/tiny", messages=QUESTION, **{**place, "api_key": "psk_wrong"}))
long = [{"role": "user", "content": "word " * 5000}]
raises(litellm.ContextWindowExceededError, lambda: litellm.completion(model="openai/tiny", messages=long, **place))
raises(litellm.RateLimitError, lambda: litellm.completion(model="openai/busy", messages=QUESTION, **place))
ok("errors")
