import { createServer, type AddressInfo } from "node:net";

import { expect, test } from "vitest";

import { opensByItself } from "../open-repository.ts";
import { Approach } from "./approach.ts";
import type { BackupSettings } from "./types.ts";

const context = {
  signal: new AbortController().signal,
  environment: {},
  homeDirectory: "/",
  userName: "nobody",
  onEvent: () => {},
};

test("Approach gives a source up that does not answer, when the run ends before", async () => {
  const silent = createServer(() => {}).listen(0, "127.0.0.1");
  await new Promise((resolve) => silent.once("listening", resolve));
  const { port } = silent.address() as AddressInfo;
  const source = `postgresql://nobody@127.0.0.1:${port}/x?connect_timeout=60`;
  const settings = { source, pgDump: null, selection: [] } as unknown as BackupSettings;
  const approach = Approach.begin(context, settings);
  await new Promise((resolve) => silent.once("connection", resolve));
  await approach[Symbol.asyncDispose]();
  for (const step of [approach.source, approach.life, approach.dump]) {
    await expect(step).rejects.toMatchObject({ name: "AbortError" });
  }
  silent.close();
});

const ACCESS = { location: "/x", askPassphrase: () => Promise.resolve("") };

test.each([
  ["with a passphrase", { givenPassphrase: "x" }, true],
  ["with a recovery key", { givenPassphrase: null, givenRecoveryKey: "x" }, true],
  ["with nothing", { givenPassphrase: null }, false],
  [
    "with an identity whose passphrase is asked",
    { givenPassphrase: null, givenIdentities: () => Promise.resolve([]) },
    false,
  ],
])("opensByItself() %s", (_what, given, expected) => {
  expect(opensByItself({ ...ACCESS, ...given })).toBe(expected);
});
