import assert from "node:assert/strict";
import test from "node:test";
import { closingLine, countCargo, countExit, countNode } from "../lib/counting.mjs";

const OK = "test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out\n";
const BAD = "test result: FAILED. 2 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out\n";
const totals = (pass, fail, rest = 0) =>
  `ℹ pass ${pass}\nℹ fail ${fail}\nℹ cancelled ${rest}\nℹ skipped ${rest}\nℹ todo ${rest}\n`;

const TABLE = [
  { name: "a lint that passes", count: countExit, output: "", code: 0, want: [1, 0, 0] },
  { name: "a lint that fails", count: countExit, output: "", code: 7, want: [0, 1, 0] },
  {
    name: "cargo: several test programs",
    count: countCargo,
    output: OK + OK,
    code: 0,
    want: [10, 0, 2],
  },
  { name: "cargo: failures", count: countCargo, output: OK + BAD, code: 101, want: [7, 3, 1] },
  {
    name: "cargo: a test program crashed",
    count: countCargo,
    output: OK,
    code: 101,
    want: [5, 1, 1],
  },
  {
    name: "cargo: does not compile",
    count: countCargo,
    output: "error",
    code: 101,
    want: [0, 1, 0],
  },
  { name: "cargo: nothing ran", count: countCargo, output: "", code: 0, want: [0, 1, 0] },
  { name: "node: spec reporter", count: countNode, output: totals(4, 0), code: 0, want: [4, 0, 0] },
  { name: "node: failures", count: countNode, output: totals(4, 2, 1), code: 1, want: [4, 3, 2] },
  {
    name: "node: tap reporter",
    count: countNode,
    output: "# pass 3\n# fail 0\n# skipped 1\n",
    code: 0,
    want: [3, 0, 1],
  },
  {
    name: "node: with colours",
    count: countNode,
    output: "\u001b[34mℹ pass 3\u001b[39m\n\u001b[34mℹ fail 0\u001b[39m\n",
    code: 0,
    want: [3, 0, 0],
  },
  {
    name: "node: no file matched",
    count: countNode,
    output: totals(0, 0),
    code: 0,
    want: [0, 1, 0],
  },
  { name: "node: crashed at the start", count: countNode, output: "", code: 9, want: [0, 1, 0] },
  {
    name: "node: failed after its tests",
    count: countNode,
    output: totals(4, 0),
    code: 1,
    want: [4, 1, 0],
  },
  {
    name: "node: a file without tests",
    count: countNode,
    output: `✔ one (1ms)\n✔ tests/e2e/empty.test.mjs (31.7ms)\n${totals(2, 0)}`,
    code: 0,
    want: [1, 1, 0],
  },
];

for (const { name, count, output, code, want } of TABLE) {
  test(`counts ${name}`, () => {
    const { passed, failed, skipped } = count(output, code);
    assert.deepEqual([passed, failed, skipped], want);
  });
}

test("the closing line mentions skipped tests only if there are any", () => {
  const count = { passed: 2, failed: 1, skipped: 0 };
  assert.equal(closingLine([count, count]), "4 passed, 2 failed");
  assert.equal(closingLine([{ ...count, skipped: 3 }]), "2 passed, 1 failed, 3 skipped");
});
