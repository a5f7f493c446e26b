// The client of the studio's API; every failure is a Problem with one sentence.

import { OVER } from "./dom.js";

const ROOT = "/api/v1";

export class Problem extends Error {
  constructor(body, status) {
    super(body.detail || `The server responded with status ${status}.`);
    this.status = status;
    this.fields = (body.errors || []).map((error) => error.field);
  }
}

// `timeoutMs`: abort after that many milliseconds; without it, the browser decides.
export async function call(method, path, payload, type, timeoutMs) {
  const headers = {};
  if (payload !== undefined) headers["Content-Type"] = type || "application/json";
  let response;
  try {
    response = await fetch(ROOT + path, { method, headers, body: payload === undefined || type ? payload : JSON.stringify(payload), signal: timeoutMs ? AbortSignal.timeout(timeoutMs) : undefined });
  } catch {
    throw new Problem({ detail: "The studio does not respond. Is it still running?" }, 0);
  }
  if (response.status === 204) return null;
  const body = await response.json().catch(() => ({}));
  if (!response.ok) {
    const wait = response.headers.get("Retry-After");
    if (wait) body.detail = `${body.detail}; try again in ${wait} s`;
    throw new Problem(body, response.status);
  }
  return body;
}

export const upload = (blob) => call("POST", `/assets${blob.name ? `?name=${encodeURIComponent(blob.name)}` : ""}`, blob, "application/octet-stream");
export const assetUrl = (id) => `${ROOT}/assets/${id}/file`;
export const resultUrl = (job, step, extra = "") => `${ROOT}/jobs/${job}/results/${step}${extra}`;

// Follow a job's events; the browser reconnects with Last-Event-ID after a lost connection.
const KINDS = ["state", "planned", "scale", "resumed", "step", "snapshot", "steered", "warned", "finished", "deleted"];

export function follow(job, onEvent, onLost) {
  const source = new EventSource(`${ROOT}/jobs/${job}/events`);
  source.onerror = onLost;
  for (const kind of KINDS) {
    source.addEventListener(kind, (event) => {
      const data = JSON.parse(event.data);
      onEvent(kind, data);
      if (kind === "deleted" || (kind === "state" && OVER.includes(data.state))) source.close();
    });
  }
  return () => source.close();
}
