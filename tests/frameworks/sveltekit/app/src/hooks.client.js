import "$lib/sign-in-again.js";
