import { expect, test } from "vitest";
import { startupAnswer } from "./startup-answer.ts";

test("startupAnswer() logs in, tells each parameter, and is ready", () => {
  const answer = Buffer.from(
    startupAnswer(
      new Map([
        ["server_version", "18.6"],
        ["client_encoding", "UTF8"],
      ]),
    ),
  );
  const messages: [string, string][] = [];
  for (let offset = 0; offset < answer.length;) {
    const end = offset + 1 + answer.readInt32BE(offset + 1);
    messages.push([answer.toString("latin1", offset, offset + 1), answer.toString("latin1", offset + 5, end)]);
    offset = end;
  }
  expect(messages).toEqual([
    ["R", "\0\0\0\0"],
    ["S", "server_version\x0018.6\0"],
    ["S", "client_encoding\0UTF8\0"],
    ["K", "\0\0\0\0\0\0\0\0"],
    ["Z", "I"],
  ]);
});
