// A certified identity provider (npm `oidc-provider`) on a free loopback port, for the tests of logging in.
//
// Says `{"issuer": ..., "version": ...}` on its first line, then obeys one line of JSON at a time and answers each with a line:
//   {"groups": {"ann": ["admins"]}}  who is in which groups from now on
//   {"rotate": true}                 a new key signs; the old one is no longer shown
//   {"asked": true}                  how often its keys were asked for
// Ends with its standard input.
import http from "node:http";
import { createInterface } from "node:readline";
import { generateKeyPairSync } from "node:crypto";
import { readFileSync } from "node:fs";
import Provider from "oidc-provider";

// Read as a file: the library shows its own description to nobody.
const VERSION = JSON.parse(readFileSync(new URL("./node_modules/oidc-provider/package.json", import.meta.url))).version;

const SECRET = "a-secret-of-penstock-at-the-provider";
const AUDIENCE = "https://penstock.test";

const groups = { ann: ["admins"], bob: ["staff"], "robot": ["robots"] };
let asked = 0;
let serial = 0;

function key() {
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  serial += 1;
  return { ...privateKey.export({ format: "jwk" }), kid: `key-${process.pid}-${serial}`, alg: "RS256", use: "sig" };
}

function client(id, more) {
  return { client_id: id, client_secret: SECRET, application_type: "native", token_endpoint_auth_method: "client_secret_basic", ...more };
}

function provider(issuer) {
  const made = new Provider(issuer, {
    clients: [
      client("penstock", {
        grant_types: ["authorization_code", "urn:ietf:params:oauth:grant-type:device_code"],
        redirect_uris: ["http://127.0.0.1/auth/callback"],
        post_logout_redirect_uris: ["http://127.0.0.1/auth/login"],
      }),
      client("robot", { grant_types: ["client_credentials"], redirect_uris: [], response_types: [] }),
    ],
    jwks: { keys: [key()] },
    cookies: { keys: ["only for tests"] },
    claims: { openid: ["sub"], profile: ["preferred_username"], email: ["email", "email_verified"], groups: ["groups"] },
    scopes: ["openid", "profile", "email", "groups"],
    pkce: { required: () => true },
    ttl: { AccessToken: 600, AuthorizationCode: 60, ClientCredentials: 600, DeviceCode: 120, IdToken: 600, Interaction: 600, Session: 600, Grant: 600 },
    features: {
      clientCredentials: { enabled: true },
      deviceFlow: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => undefined,
        getResourceServerInfo: (ctx, resource) => ({
          scope: "call", audience: resource, accessTokenFormat: "jwt", accessTokenTTL: 600, jwt: { sign: { alg: "RS256" } },
        }),
      },
    },
    extraTokenClaims: (ctx, token) => ({ groups: groups[token.clientId] ?? [] }),
    findAccount: (ctx, id) => ({
      accountId: id,
      claims: () => ({ sub: id, preferred_username: id, email: `${id}@example.org`, email_verified: true, groups: groups[id] ?? [] }),
    }),
  });
  made.on("server_error", (ctx, error) => console.error(error));
  return made.callback();
}

const server = http.createServer((request, response) => {
  if (request.url.startsWith("/jwks")) asked += 1;
  answer(request, response);
});
let answer;

server.listen(0, "127.0.0.1", () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  answer = provider(issuer);
  console.log(JSON.stringify({ issuer, secret: SECRET, audience: AUDIENCE, version: VERSION }));
  const lines = createInterface({ input: process.stdin });
  lines.on("line", (line) => {
    const order = JSON.parse(line);
    if (order.groups) Object.assign(groups, order.groups);
    // Accounts and logins outlive it: they are kept beside the provider.
    if (order.rotate) answer = provider(issuer);
    console.log(JSON.stringify({ asked }));
  });
  lines.on("close", () => process.exit(0));
});
