import "@picocss/pico/css/pico.jade.min.css";
import "./style.css";
import { render } from "preact";
import { App } from "./app.jsx";

const root = document.querySelector("#app");
root.replaceChildren();
render(<App />, root);
