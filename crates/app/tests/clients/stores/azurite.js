// Microsoft's own emulator of Azure's blob storage (npm `azurite`) on a free loopback port, with an empty container `models`.
//
// Its only argument is the folder that it keeps things in. Says `{"url": ..., "account": ..., "key": ...}` on its first line.
// Ends with its standard input.
import http from "node:http";
import { createHmac, randomBytes } from "node:crypto";

const VERSION = "2021-12-02";
const account = "penstocktests";
const key = randomBytes(64).toString("base64");

// A container is made by whoever owns the account, not by Penstock.
function makeContainer(url) {
  const date = new Date().toUTCString();
  const head = `PUT\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:${date}\nx-ms-version:${VERSION}\n`;
  const text = `${head}/${account}/${account}/models\nrestype:container`;
  const signature = createHmac("sha256", Buffer.from(key, "base64")).update(text).digest("base64");
  const headers = { "x-ms-date": date, "x-ms-version": VERSION, "content-length": 0, authorization: `SharedKey ${account}:${signature}` };
  return new Promise((resolve, reject) => {
    const request = http.request(`${url}/models?restype=container`, { method: "PUT", headers }, (answer) => {
      answer.resume();
      answer.on("end", () => (answer.statusCode === 201 ? resolve() : reject(new Error(`no container: ${answer.statusCode}`))));
    });
    request.on("error", reject);
    request.end();
  });
}

const say = console.log;
console.log = (text) => {
  const port = /listens on http:\/\/127\.0\.0\.1:(\d+)/.exec(String(text))?.[1];
  if (port) {
    const url = `http://127.0.0.1:${port}/${account}`;
    makeContainer(url).then(() => say(JSON.stringify({ url, account, key })), (error) => {
      console.error(error);
      process.exit(1);
    });
  }
};

process.env.AZURITE_ACCOUNTS = `${account}:${key}`;
process.argv.splice(2, Infinity, "--blobHost", "127.0.0.1", "--blobPort", "0", "--location", process.argv[2], "--silent", "--skipApiVersionCheck", "--disableTelemetry");
process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
await import("azurite/dist/src/blob/main.js");
