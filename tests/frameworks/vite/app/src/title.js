export const title = "Notes";
