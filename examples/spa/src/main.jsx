import "@picocss/pico/css/pico.jade.min.css";
import "./style.css";
import { render } from "preact";
import { App } from "./app.jsx";

const root = document.querySelector("#app");
root.replaceChildren();
render(<App />, root);

// A page from the back/forward cache shows old data, for example a user who has signed out. So it is reloaded.
window.addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload();
});
