// A Worker that answers a list of questions by the functions of the module.

import { answer } from "vestibule";
import "vestibule-entry";
export default {
  async fetch(request) {
    const questions = await request.json();
    return Response.json(questions.map((question) => JSON.parse(answer(JSON.stringify(question)))));
  },
};
