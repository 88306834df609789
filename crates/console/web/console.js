// Asks for deployments and instances every few seconds and shows them. Everything that comes from
// the server is set as text, never as HTML. The token stays in this tab (sessionStorage).
"use strict";

const KEPT_AS = "penstock-token";
const EVERY_MS = 2000;
const GIVE_UP_MS = 10000;

const byId = (id) => document.getElementById(id);
let timer = 0;

// A list answers resources ({name, spec, status}) or plain values: look in all of them.
function field(item, ...names) {
  for (const part of [item, item.status, item.spec]) {
    for (const name of names) {
      if (part && typeof part === "object" && part[name] !== undefined && part[name] !== null) return part[name];
    }
  }
  return undefined;
}

function text(value) {
  if (value === undefined || value === null) return "";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

function bytes(value) {
  if (typeof value !== "number") return text(value);
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) { value /= 1024; unit += 1; }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}

function why(item) {
  const reason = field(item, "reason");
  if (!reason || typeof reason !== "object") return text(reason);
  return [reason.message || reason.code, reason.remedy].filter(Boolean).join(": ");
}

function colour(state) {
  if (["ready", "running", "sleeping"].includes(state)) return "good";
  if (["failed", "unhealthy"].includes(state)) return "bad";
  return "wait";
}

function state(item) {
  return text(field(item, "phase", "state"));
}

function replicas(item) {
  const ready = field(item, "ready", "ready_replicas");
  const wanted = item.spec && item.spec.replicas;
  const range = wanted && typeof wanted === "object" ? `${wanted.min} to ${wanted.max}` : text(wanted);
  return ready === undefined ? range : `${text(ready)} ready of ${range}`;
}

function show(table, items, cells) {
  const body = byId(table).tBodies[0];
  const rows = items.map((item) => {
    const row = document.createElement("tr");
    for (const [value, look] of cells(item)) {
      const cell = row.insertCell();
      cell.textContent = value;
      if (look) cell.className = look;
    }
    return row;
  });
  if (rows.length === 0) {
    const row = document.createElement("tr");
    const cell = row.insertCell();
    cell.colSpan = byId(table).tHead.rows[0].cells.length;
    cell.className = "none";
    cell.textContent = "none";
    rows.push(row);
  }
  body.replaceChildren(...rows);
}

function showDeployments(items) {
  show("deployments", items, (item) => [
    [text(field(item, "name"))],
    [state(item), colour(state(item))],
    [text(field(item, "engine"))],
    [text(field(item, "model", "url"))],
    [replicas(item)],
    [why(item)],
  ]);
}

function showInstances(items) {
  show("instances", items, (item) => [
    [text(field(item, "id", "name"))],
    [text(field(item, "deployment"))],
    [state(item), colour(state(item))],
    [`${text(field(item, "in_flight")) || 0} of ${text(field(item, "slots")) || "?"}`],
    [bytes(field(item, "memory"))],
    [text(field(item, "pid"))],
    [why(item)],
  ]);
}

function notice(message) {
  byId("notice").hidden = !message;
  byId("notice").textContent = message || "";
}

async function ask(path) {
  const token = sessionStorage.getItem(KEPT_AS);
  const headers = { accept: "application/json" };
  if (token) headers.authorization = `Bearer ${token}`;
  const reply = await fetch(path, { headers, cache: "no-store", signal: AbortSignal.timeout(GIVE_UP_MS) });
  if (reply.ok) return (await reply.json()).items || [];
  const problem = await reply.json().catch(() => ({}));
  const error = new Error([problem.detail || problem.title || `${path} answered ${reply.status}`, problem.hint].filter(Boolean).join(": "));
  error.final = reply.status === 401 || reply.status === 403;
  throw error;
}

async function turn() {
  clearTimeout(timer);
  let again = true;
  try {
    const [deployments, instances] = await Promise.all([ask("/api/v1/deployments"), ask("/api/v1/instances")]);
    showDeployments(deployments);
    showInstances(instances);
    notice("");
    byId("asked").textContent = `As of ${new Date().toLocaleTimeString()}.`;
  } catch (error) {
    again = !error.final;
    notice(error.final && !sessionStorage.getItem(KEPT_AS) ? "Enter a token to see what runs." : error.message);
  }
  byId("forget").hidden = !sessionStorage.getItem(KEPT_AS);
  if (again && !document.hidden) timer = setTimeout(turn, EVERY_MS);
}

// Who is logged in with this browser, if anybody: the cookie says so to the server, never to a script.
async function who() {
  const reply = await fetch("/auth/session", { cache: "no-store", signal: AbortSignal.timeout(GIVE_UP_MS) }).catch(() => null);
  if (!reply || !reply.ok) return;
  byId("login").textContent = (await reply.json()).name;
  byId("entry").hidden = true;
}

byId("entry").addEventListener("submit", (event) => {
  event.preventDefault();
  const token = byId("token").value.trim();
  if (token) sessionStorage.setItem(KEPT_AS, token);
  byId("token").value = "";
  turn();
});
byId("forget").addEventListener("click", () => {
  sessionStorage.removeItem(KEPT_AS);
  showDeployments([]);
  showInstances([]);
  turn();
});
document.addEventListener("visibilitychange", () => { if (!document.hidden) turn(); });
who();
turn();
