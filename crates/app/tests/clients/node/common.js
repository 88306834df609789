// What every script needs: where Penstock is, and how a check is told.
// In: PENSTOCK_URL, PENSTOCK_TOKEN. Out: a line `ok NAME` for each check that held, and the library's version.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

export const url = process.env.PENSTOCK_URL;
export const token = process.env.PENSTOCK_TOKEN;
export const poor = process.env.PENSTOCK_POOR_TOKEN;
export const right = "The capital of France is Paris.";
export const question = "What is the capital of France?";
export const weather = "What is the weather in Paris?";
export const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };

export const version = (name) => {
  const file = new URL(`${name}/package.json`, `file://${process.env.PENSTOCK_CLIENTS}/node_modules/`);
  console.log(`version ${name} ${JSON.parse(readFileSync(file)).version}`);
};

export const ok = (name) => console.log(`ok ${name}`);

/** The error that the promise ends with, which must be of this very kind. */
export const raises = async (kind, call) => {
  try {
    await call();
  } catch (error) {
    assert.equal(error.constructor.name, kind.name, `${error}`);
    return error;
  }
  assert.fail(`no ${kind.name} was thrown`);
};
