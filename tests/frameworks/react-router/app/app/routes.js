import { route } from "@react-router/dev/routes";

export default [
  route("notes/:name", "routes/note.jsx"),
  route("api/data", "routes/data.js"),
  route("api/stream", "routes/stream.js"),
  route("api/stream/go", "routes/stream-go.js"),
];
