"""The official Ollama library in front of models that were never Ollama's."""

import ollama
from common import QUESTION, RIGHT, TOKEN, TOOL, URL, ok, raises, version

version("ollama")
client = ollama.Client(host=URL, headers={"Authorization": f"Bearer {TOKEN}"})
calm = {"temperature": 0}

reply = client.chat(model="tiny", messages=QUESTION, options=calm)
assert reply.message.content == RIGHT and reply.done and reply.done_reason == "stop", reply
assert reply.eval_count > 0 and reply.prompt_eval_count > 0 and reply.total_duration > 0
pieces = list(client.chat(model="tiny:latest", messages=QUESTION, options=calm, stream=True))
assert "".join(piece.message.content for piece in pieces) == RIGHT
assert [piece.done for piece in pieces] == [False] * (len(pieces) - 1) + [True]
ok("chat")

prompt = "What is the capital of France?"
reply = client.generate(model="tiny", prompt=prompt, options={**calm, "num_predict": 2})
assert reply.response and reply.done_reason == "length", reply
pieces = list(client.generate(model="tiny", prompt=prompt, options=calm, stream=True))
assert len(pieces) > 2 and pieces[-1].done
ok("generate")

weather = [{"role": "user", "content": "What is the weather in Paris?"}]
call = client.chat(model="tiny", messages=weather, tools=[TOOL], options=calm).message.tool_calls[0]
assert call.function.name == "get_weather" and call.function.arguments == {"city": "Paris"}, call
ok("tools")

listed = {model.model for model in client.list().models}
assert any(name.split(":")[0] == "tiny" for name in listed), listed
assert any(model.model.split(":")[0] == "tiny" for model in client.ps().models)
shown = client.show("tiny")
assert shown.details.family == "llama" and shown.modelinfo, shown
ok("list, ps, show")

vectors = client.embed(model="tiny", input=["France", "Paris"])
assert [len(vector) for vector in vectors.embeddings] == [128, 128]
ok("embed")

error = raises(ollama.ResponseError, lambda: client.chat(model="gpt-9", messages=QUESTION))
assert error.status_code == 404, error
stranger = ollama.Client(host=URL, headers={"Authorization": "Bearer psk_wrong"})
assert raises(ollama.ResponseError, lambda: stranger.chat(model="tiny", messages=QUESTION)).status_code == 401
raises(ollama.ResponseError, lambda: list(client.chat(model="cut", messages=QUESTION, stream=True)))
ok("errors")

client.generate(model="tiny", keep_alive=0)
ok("unload")

stream = client.chat(model="endless", messages=QUESTION, stream=True)
for _, _piece in zip(range(3), stream):
    pass
stream.close()
ok("cancel")
