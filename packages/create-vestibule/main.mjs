#!/usr/bin/env node
/** `npm create vestibule [FOLDER]` is `vestibule init [FOLDER]`. */

process.argv.splice(2, 0, "init");
await import("vestibule/cli");
