// Talks to the studio's API; what goes wrong comes back as one sentence.

const ROOT = "/api/v1";

export class Problem extends Error {
  constructor(body, status) {
    super(body.detail || `the server answered ${status}`);
    this.status = status;
    this.fields = (body.errors || []).map((error) => error.field);
  }
}

// `patience`: after how many milliseconds no answer counts as none; without it, the browser's own.
export async function call(method, path, body, type, patience) {
  const headers = {};
  if (body !== undefined) headers["Content-Type"] = type || "application/json";
  let answer;
  try {
    answer = await fetch(ROOT + path, { method, headers, body: body === undefined || type ? body : JSON.stringify(body), signal: patience ? AbortSignal.timeout(patience) : undefined });
  } catch {
    throw new Problem({ detail: "the studio does not answer: is it still running?" }, 0);
  }
  if (answer.status === 204) return null;
  const told = await answer.json().catch(() => ({}));
  if (!answer.ok) {
    const wait = answer.headers.get("Retry-After");
    if (wait) told.detail = `${told.detail}; try again in ${wait} s`;
    throw new Problem(told, answer.status);
  }
  return told;
}

export const upload = (blob) => call("POST", `/assets${blob.name ? `?name=${encodeURIComponent(blob.name)}` : ""}`, blob, "application/octet-stream");
export const assetUrl = (id) => `${ROOT}/assets/${id}/file`;
export const resultUrl = (job, step, extra = "") => `${ROOT}/jobs/${job}/results/${step}${extra}`;

// Follow a job's events; the browser itself comes back with Last-Event-ID after a lost connection.
const KINDS = ["state", "planned", "scale", "resumed", "step", "snapshot", "steered", "warned", "finished", "deleted"];

export function follow(job, tell, lost) {
  const source = new EventSource(`${ROOT}/jobs/${job}/events`);
  source.onerror = lost;
  for (const kind of KINDS) {
    source.addEventListener(kind, (event) => {
      const data = JSON.parse(event.data);
      tell(kind, data);
      if (kind === "deleted" || (kind === "state" && ["done", "cancelled", "failed"].includes(data.state))) source.close();
    });
  }
  return () => source.close();
}

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

export function complain(error) {
  const place = document.getElementById("alert");
  place.textContent = error ? error.message : "";
  place.hidden = !error;
}
