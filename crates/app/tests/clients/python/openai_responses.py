"""The official OpenAI library's newer way of asking: responses, with what is remembered between them."""

import openai
from common import QUESTION, RIGHT, TOKEN, URL, WEATHER, ok, raises, version

version("openai")
client = openai.OpenAI(base_url=f"{URL}/v1", api_key=TOKEN, max_retries=0)

reply = client.responses.create(model="tiny", input="What is the capital of France?", temperature=0)
assert reply.output_text == RIGHT and reply.status == "completed" and reply.usage.total_tokens > 0, reply
ok("responses")

with client.responses.stream(model="tiny", input=QUESTION, temperature=0) as events:
    seen = list(events)
    final = events.get_final_response()
assert final.output_text == RIGHT
assert [event.sequence_number for event in seen] == list(range(len(seen)))
kinds = [event.type for event in seen]
assert kinds[:2] == ["response.created", "response.in_progress"] and kinds[-1] == "response.completed", kinds
ok("responses stream")

tool = {"type": "function", "name": "get_weather", "description": "The weather in a city.", "parameters": WEATHER, "strict": False}
reply = client.responses.create(model="tiny", input="What is the weather in Paris?", tools=[tool], temperature=0, max_output_tokens=64)
call = next(item for item in reply.output if item.type == "function_call")
assert call.name == "get_weather" and call.arguments == '{"city": "Paris"}', call
ok("responses tools")

cut = client.responses.create(model="tiny", input="Tell me a story.", temperature=0, max_output_tokens=16)
assert cut.status == "incomplete" and cut.incomplete_details.reason == "max_output_tokens", cut
ok("responses incomplete")

first = client.responses.create(model="fake", input="Hi")
second = client.responses.create(model="fake", input="Again", previous_response_id=first.id)
assert second.previous_response_id == first.id and second.output_text == "Hello there."
assert client.responses.retrieve(first.id).output_text == first.output_text
assert client.responses.input_items.list(first.id).data
client.responses.delete(first.id)
raises(openai.NotFoundError, lambda: client.responses.retrieve(first.id))
ok("responses state")

raises(openai.NotFoundError, lambda: client.responses.create(model="gpt-9", input="Hi"))
error = raises(openai.BadRequestError, lambda: client.responses.create(model="fake", input="Hi", previous_response_id="resp_none"))
assert error.code == "previous_response_not_found", error
ok("responses errors")
