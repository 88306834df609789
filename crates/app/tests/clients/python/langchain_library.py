"""LangChain's OpenAI models, which many applications sit on."""

import openai
from common import QUESTION, RIGHT, TOKEN, TOOL, URL, ok, raises, version
from langchain_openai import ChatOpenAI, OpenAIEmbeddings

version("langchain-openai")
place = {"base_url": f"{URL}/v1", "api_key": TOKEN, "max_retries": 0}
tiny = ChatOpenAI(model="tiny", temperature=0, **place)
question = QUESTION[0]["content"]

reply = tiny.invoke(question)
assert reply.content == RIGHT and reply.usage_metadata["total_tokens"] > 0, reply
streamed = None
for chunk in ChatOpenAI(model="tiny", temperature=0, stream_usage=True, **place).stream(question):
    streamed = chunk if streamed is None else streamed + chunk
assert streamed.content == RIGHT and streamed.usage_metadata["total_tokens"] == reply.usage_metadata["total_tokens"], streamed
ok("chat")

call = tiny.bind_tools([TOOL]).invoke("What is the weather in Paris?").tool_calls[0]
assert call["name"] == "get_weather" and call["args"] == {"city": "Paris"}, call
ok("tools")

# It counts tokens by itself and sends their numbers, unless told that the server is not OpenAI's own.
vectors = OpenAIEmbeddings(model="tiny", check_embedding_ctx_length=False, **place).embed_documents(["France", "Paris"])
assert [len(vector) for vector in vectors] == [128, 128]
ok("embeddings")

raises(openai.NotFoundError, lambda: ChatOpenAI(model="gpt-9", **place).invoke("Hi"))
ok("errors")
