"""The official Anthropic library in front of engines that only know chat."""

import anthropic
from common import POOR, QUESTION, RIGHT, TOKEN, URL, WEATHER, Waited, ok, raises, version

version("anthropic")
CALM = {"extra_body": {"temperature": 0}}  # the library has dropped the name, servers have not
client = anthropic.Anthropic(base_url=URL, api_key=TOKEN, max_retries=0)

reply = client.messages.create(model="tiny", max_tokens=32, messages=QUESTION, **CALM)
assert reply.content[0].text == RIGHT and reply.stop_reason == "end_turn", reply
assert reply.usage.input_tokens > 0 and reply.usage.output_tokens > 0 and reply._request_id
ok("messages")

with client.messages.stream(model="tiny", max_tokens=32, messages=QUESTION, **CALM) as stream:
    text = "".join(stream.text_stream)
    final = stream.get_final_message()
assert text == RIGHT and final.stop_reason == "end_turn"
taken = [used.input_tokens + used.cache_read_input_tokens for used in (final.usage, reply.usage)]
assert taken[0] == taken[1], final
assert final.usage.output_tokens == reply.usage.output_tokens
ok("messages stream")

cut = client.messages.create(model="tiny", max_tokens=2, messages=QUESTION, **CALM)
assert cut.stop_reason == "max_tokens", cut
spoken = client.messages.create(model="fake", max_tokens=9, system="Be brief.", stop_sequences=["!"], messages=QUESTION)
assert spoken.content[0].text == "Hello there."
ok("messages options")

tool = {"name": "get_weather", "description": "The weather in a city.", "input_schema": WEATHER}
weather = [{"role": "user", "content": "What is the weather in Paris?"}]
reply = client.messages.create(model="tiny", max_tokens=64, messages=weather, tools=[tool], **CALM)
call = next(block for block in reply.content if block.type == "tool_use")
assert reply.stop_reason == "tool_use" and call.name == "get_weather" and call.input == {"city": "Paris"}, reply
with client.messages.stream(model="tiny", max_tokens=64, messages=weather, tools=[tool], **CALM) as stream:
    streamed = next(block for block in stream.get_final_message().content if block.type == "tool_use")
assert streamed.input == call.input
result = {"type": "tool_result", "tool_use_id": call.id, "content": "Sunny."}
said = [{"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in reply.content]}]
after = client.messages.create(model="fake", max_tokens=64, messages=[*weather, *said, {"role": "user", "content": [result]}], tools=[tool])
assert after.content[0].text == "Hello there."
ok("tools")

count = client.messages.count_tokens(model="tiny", messages=QUESTION)
assert count.input_tokens > 5, count
assert client.messages.count_tokens(model="fake", messages=QUESTION).input_tokens > 0
ok("count_tokens")

assert "tiny" in [model.id for model in client.models.list()]
ok("models")

raises(anthropic.NotFoundError, lambda: client.messages.create(model="gpt-9", max_tokens=9, messages=QUESTION))
stranger = anthropic.Anthropic(base_url=URL, api_key="psk_wrong", max_retries=0)
raises(anthropic.AuthenticationError, lambda: stranger.messages.create(model="tiny", max_tokens=9, messages=QUESTION))
raises(anthropic.BadRequestError, lambda: client.messages.create(model="tiny", max_tokens=9, messages=[]))
poor = anthropic.Anthropic(base_url=URL, api_key=POOR, max_retries=0)
poor.messages.create(model="fake", max_tokens=9, messages=QUESTION)
raises(anthropic.RateLimitError, lambda: poor.messages.create(model="fake", max_tokens=9, messages=QUESTION))
ok("errors")

broken = lambda: list(client.messages.create(model="cut", max_tokens=9, messages=QUESTION, stream=True))  # noqa: E731
try:
    broken()
except anthropic.APIError:
    ok("a stream that breaks is an exception")

with Waited() as waited:
    reply = client.with_options(max_retries=2).messages.create(model="busy-once", max_tokens=9, messages=QUESTION)
assert reply.content[0].text == "Hello there." and waited.seconds >= 0.95, waited.seconds
ok("retry-after")

with client.messages.stream(model="endless", max_tokens=9, messages=QUESTION) as stream:
    for _, _text in zip(range(3), stream.text_stream):
        pass
ok("cancel")
