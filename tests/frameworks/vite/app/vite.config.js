import { defineConfig } from "vite";
import { api } from "./api.js";

export default defineConfig({ plugins: [api()] });
