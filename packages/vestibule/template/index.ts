// Vestibule. To decide about requests yourself: docs/policy.md, "Hooks in TypeScript".
export * from "vestibule";
export { default } from "vestibule";
