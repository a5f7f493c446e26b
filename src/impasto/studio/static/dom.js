// What every part of the page uses: elements by id, new elements, the alert line, the words for a job's state.

export const byId = (id) => document.getElementById(id);

export const OVER = ["done", "canceled", "failed"];
export const STATE_LABELS = { queued: "queued", running: "painting", paused: "paused", done: "finished", canceled: "canceled", failed: "failed" };

export function element(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children);
  return node;
}

// Show an error above the page, as a sentence; null removes it.
export function showError(error) {
  const alert = byId("alert");
  alert.textContent = error ? error.message[0].toUpperCase() + error.message.slice(1) : "";
  alert.hidden = !error;
}
