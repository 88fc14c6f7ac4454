import { Console } from "../console/app.tsx";
import "../console/style/frame.css";
import "../console/style/lists.css";
import "../console/style/items.css";
import "../console/style/numbers.css";
import "../console/style/narrow.css";
import { start } from "../start.tsx";

start(Console);
