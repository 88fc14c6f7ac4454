import "@picocss/pico/css/pico.jade.min.css";
import "./style.css";
import { render } from "preact";
import { App } from "./app.jsx";

const root = document.querySelector("#app");
root.replaceChildren();
render(<App />, root);

// A page out of the back/forward cache shows what was true when it was left, a signed-in user say.
window.addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload();
});
