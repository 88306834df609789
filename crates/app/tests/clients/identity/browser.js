// A real browser that logs in and out, as a person does. Debian's Chromium, driven by playwright-core.
//
// In: PENSTOCK_URL, PENSTOCK_CHROMIUM, and orders on standard input, one JSON to a line; each is answered by one line of JSON, `{"error"}` when it could
// not be done. Whatever would leave this machine is refused and remembered (`{"asked_outside": [...]}`).
//   {"do": "open", "path"}                       a page of Penstock
//   {"do": "with_provider", "label", "user"}     the button, the provider's login and consent, and back
//   {"do": "go_on", "user"}                      the same from where the provider asks already
//   {"do": "with_token", "token"}                the field for a token
//   {"do": "confirm_device", "url", "user"}      what a person does who was shown the URL by a program
//   {"do": "fetch", "method", "path", "csrf", "body"}   what a script of a page of ours could do
//   {"do": "forge", "method", "path"}            the same from a page of another site, as a form and as a script
//   {"do": "log_out"}                            the button, and the provider's own question
//   {"do": "cookies"} | {"do": "add_cookie", "name", "value"} | {"do": "leave"}
import http from "node:http";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const base = process.env.PENSTOCK_URL;
const PATIENCE = 30_000;
const outside = [];
const profile = mkdtempSync(join(tmpdir(), "chromium-"));

const context = await chromium.launchPersistentContext(profile, {
  executablePath: process.env.PENSTOCK_CHROMIUM,
  headless: true,
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
context.setDefaultTimeout(PATIENCE);
await context.route("**/*", (route) => {
  const { hostname, protocol } = new URL(route.request().url());
  if (protocol === "data:" || ["127.0.0.1", "localhost", "[::1]"].includes(hostname)) return route.continue();
  outside.push(route.request().url());
  return route.abort();
});
const page = await context.newPage();
const faults = [];
page.on("console", (message) => message.type() === "error" && faults.push(message.text()));

let status = 0;
page.on("response", (response) => {
  if (response.request().isNavigationRequest() && response.frame() === page.mainFrame()) status = response.status();
});

const seen = async () => ({ status, url: page.url(), title: await page.title(), text: await page.innerText("body") });

/** The provider's own pages: who, and whether they agree. */
async function atProvider(user) {
  await page.waitForSelector('input[name="login"], button[autofocus]');
  if (await page.locator('input[name="login"]').count()) {
    await page.fill('input[name="login"]', user);
    await page.fill('input[name="password"]', "anything");
    await page.click('button[type="submit"]');
  }
  // What was agreed to once is not asked again.
  for (let question = 0; question < 3; question += 1) {
    await page.waitForLoadState();
    if (new URL(page.url()).origin === new URL(base).origin) return;
    const agree = page.locator('form button[type="submit"], button[autofocus]').first();
    if (!(await agree.count())) return;
    const before = page.url();
    await agree.click();
    await page.waitForURL((url) => String(url) !== before);
  }
}

const orders = {
  open: async ({ path }) => {
    const response = await page.goto(base + path);
    return { status: response.status(), headers: response.headers(), ...(await seen()) };
  },
  with_provider: async ({ label, user }) => {
    await page.click(`a.button:has-text("${label}")`);
    await atProvider(user);
    await page.waitForURL((url) => url.origin === base && !url.pathname.startsWith("/auth/callback?"));
    await page.waitForLoadState();
    return seen();
  },
  go_on: async ({ user }) => {
    await atProvider(user);
    await page.waitForURL((url) => url.origin === base);
    await page.waitForLoadState();
    return seen();
  },
  with_token: async ({ token }) => {
    await page.fill('input[name="token"]', token);
    await Promise.all([page.waitForNavigation(), page.click('form[action="/auth/enter"] button')]);
    return seen();
  },
  confirm_device: async ({ url, user }) => {
    await page.goto(url);
    await page.waitForSelector("button[autofocus], [type=submit]");
    await page.locator("button[autofocus], [type=submit]").first().click();
    await atProvider(user);
    await page.waitForSelector("text=Sign-in Success");
    return seen();
  },
  fetch: async ({ method = "GET", path, csrf, body = {} }) =>
    page.evaluate(
      async ([method, path, csrf, body]) => {
        const headers = { "content-type": "application/json" };
        if (csrf) headers["x-csrf-token"] = csrf;
        const sent = method === "GET" ? undefined : JSON.stringify(body);
        const reply = await fetch(path, { method, headers, body: sent });
        return { status: reply.status, body: await reply.text() };
      },
      [method, path, csrf, body],
    ),
  forge: async ({ method = "POST", path }) => {
    const html = `<!doctype html><title>evil</title><form method="${method}" action="${base}${path}"><button>win</button></form>`;
    const server = http.createServer((request, response) => response.setHeader("content-type", "text/html").end(html));
    await new Promise((up) => server.listen(0, "127.0.0.1", up));
    // Another site: `localhost` and `127.0.0.1` are two.
    await page.goto(`http://localhost:${server.address().port}/`);
    const scripted = await page.evaluate(
      async ([url, method]) => {
        try {
          const reply = await fetch(url, { method, credentials: "include", headers: { "content-type": "text/plain" }, body: "{}" });
          return reply.status;
        } catch (error) {
          return "blocked";
        }
      },
      [base + path, method],
    );
    const [answer] = await Promise.all([page.waitForNavigation(), page.click("button")]);
    server.close();
    return { scripted, status: answer.status(), ...(await seen()) };
  },
  log_out: async () => {
    await page.goto(`${base}/auth/login`);
    await Promise.all([page.waitForNavigation(), page.click('form[action="/auth/logout"] button')]);
    const way = page.url();
    if (new URL(way).origin !== base) {
      await page.click('button[name="logout"]');
      await page.waitForURL((url) => url.origin === base);
    }
    return { way, ...(await seen()) };
  },
  cookies: async () => ({ cookies: await context.cookies(base) }),
  add_cookie: async ({ name, value }) => {
    await context.addCookies([{ name, value, url: base }]);
    return {};
  },
};

console.log(JSON.stringify({ chromium: context.browser()?.version() ?? (await page.evaluate(() => navigator.userAgent)) }));
for await (const text of createInterface({ input: process.stdin })) {
  const order = JSON.parse(text);
  if (order.do === "leave") break;
  try {
    const answer = await orders[order.do](order);
    console.log(JSON.stringify({ ...answer, faults: faults.splice(0), asked_outside: outside }));
  } catch (error) {
    console.log(JSON.stringify({ error: `${error}`, ...(await seen().catch(() => ({}))) }));
  }
}
await context.close();
rmSync(profile, { recursive: true, force: true });
