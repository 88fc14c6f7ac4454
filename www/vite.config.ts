/**
 * Builds each page in `src/pages` into the file `NAME.page`, and what pages load into `assets/`. The gateway serves
 * them (`src/accounts/pages.rs`). All references are relative, because the operator chooses the prefix.
 */

import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import preact from "@preact/preset-vite";
import { defineConfig, type Plugin } from "vite";
import { TEXTS } from "./src/texts/common.ts";

const folder = fileURLToPath(new URL("src/pages", import.meta.url));
const names = readdirSync(folder).map((file) => file.replace(/\.tsx$/, ""));

export default defineConfig({
  base: "./",
  plugins: [preact({ devToolsEnabled: false, prefreshEnabled: false }), pages()],
  build: {
    outDir: "../build/assets/_vestibule",
    emptyOutDir: true,
    target: "es2022",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rollupOptions: {
      input: Object.fromEntries(names.map((name) => [name, `${folder}/${name}.tsx`])),
      output: {
        entryFileNames: "assets/[name]-[hash].js",
        chunkFileNames: "assets/[name]-[hash].js",
        assetFileNames: "assets/[name]-[hash][extname]",
      },
    },
  },
});

/** Writes an HTML file for each entry. */
function pages(): Plugin {
  return {
    name: "pages",
    enforce: "post",
    generateBundle(_options, bundle) {
      const chunkOf = (fileName: string) => {
        const found = bundle[fileName];
        if (found?.type !== "chunk") throw new Error(`${fileName} is not a chunk`);
        return found;
      };
      // A chunk comes after all chunks that it imports.
      const withImports = (fileName: string, found = new Set<string>()): Set<string> => {
        for (const imported of chunkOf(fileName).imports) {
          if (!found.has(imported)) withImports(imported, found).add(imported);
        }
        return found;
      };
      for (const entry of Object.values(bundle)) {
        if (entry.type !== "chunk" || !entry.isEntry) continue;
        const imports = [...withImports(entry.fileName)];
        const styles = new Set(
          [...imports, entry.fileName].flatMap((name) => [
            ...(chunkOf(name).viteMetadata?.importedCss ?? []),
          ]),
        );
        const title = TEXTS.titles[entry.name as keyof typeof TEXTS.titles];
        if (!title) throw new Error(`src/texts/common.ts has no title for ${entry.name}`);
        this.emitFile({
          type: "asset",
          fileName: `${entry.name}.page`,
          source: page({ title, script: entry.fileName, imports, styles: [...styles] }),
        });
      }
    },
  };
}

interface Parts {
  title: string;
  script: string;
  imports: string[];
  styles: string[];
}

const page = ({ title, script, imports, styles }: Parts) => `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<meta name="color-scheme" content="light dark">
<title>${title}</title>
<link rel="icon" href="data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg'/%3E">
<link rel="preload" href="settings" as="fetch" crossorigin>
${styles.map((name) => `<link rel="stylesheet" href="${name}">\n`).join("")}${imports
  .map((name) => `<link rel="modulepreload" href="${name}">\n`)
  .join("")}<script type="module" src="${script}"></script>
</head>
<body>
<div id="app"></div>
<noscript><p>${TEXTS.noScript}</p></noscript>
</body>
</html>
`;
