import { createServer, type AddressInfo } from "node:net";

import { expect, test } from "vitest";

import { OperatingError } from "../../base/errors.ts";
import { opensByItself } from "../open-repository.ts";
import type { RepositoryAccess } from "../operation.ts";
import { settleBeside } from "./settle-source.ts";

const context = {
  signal: new AbortController().signal,
  environment: {},
  homeDirectory: "/",
  userName: "nobody",
  onEvent: () => {},
};

test("settleBeside() gives a source up that does not answer when the repository cannot be opened", async () => {
  const silent = createServer(() => {}).listen(0, "127.0.0.1");
  await new Promise((resolve) => silent.once("listening", resolve));
  const { port } = silent.address() as AddressInfo;
  const wrongKey = new OperatingError("wrong_key", "this is not the passphrase");
  const opening = Promise.withResolvers<never>();
  const source = `postgresql://nobody@127.0.0.1:${port}/x?connect_timeout=60`;
  const settling = settleBeside(context, { source, pgDump: null, selection: [] }, opening.promise);
  silent.once("connection", () => opening.reject(wrongKey));
  await expect(settling).rejects.toBe(wrongKey);
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
  expect(opensByItself({ ...ACCESS, ...given } as RepositoryAccess)).toBe(expected);
});
