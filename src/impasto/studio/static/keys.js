// The keyboard shortcuts of a run, for the page and for the frame of its controls.

export const KEYS = { p: "pause", s: "stop" };
const NOT_TEXT = ["button", "checkbox", "color", "file", "image", "radio", "range", "reset", "submit"];

const isTextField = (node) => node.isContentEditable || node.matches?.("textarea, select")
  || (node.matches?.("input") && !NOT_TEXT.includes(node.type));

// Call `act` with the name of the command, unless the key is typed into a text field.
export function listenForKeys(act) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.repeat || event.defaultPrevented || isTextField(event.target)) return;
    const name = KEYS[event.key.toLowerCase()];
    if (name) act(name);
  });
}
