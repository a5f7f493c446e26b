// The keys that order a run about, heard in the page and in the frame of its controls.

export const KEYS = { p: "pause", s: "stop" };
const UNWRITTEN = ["button", "checkbox", "color", "file", "image", "radio", "range", "reset", "submit"];

const written = (place) => place.isContentEditable || place.matches?.("textarea, select")
  || (place.matches?.("input") && !UNWRITTEN.includes(place.type));

// Call `act` with the name of the order, unless the key is a letter that somebody writes.
export function hearKeys(act) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.repeat || event.defaultPrevented || written(event.target)) return;
    const name = KEYS[event.key.toLowerCase()];
    if (name) act(name);
  });
}
