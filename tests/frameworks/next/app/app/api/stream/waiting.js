// Each route has a copy of what it imports.
globalThis.waiting ??= {};
export const { waiting } = globalThis;
