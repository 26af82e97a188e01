// An agent of which one key alone is used. Servers refuse who tries many keys, and an agent may hold many.

import ssh2 from "ssh2";
import type { BaseAgent, IdentityCallback, ParsedKey, SignCallback, SigningRequestOptions } from "ssh2";

type AnyKey = Buffer | ParsedKey | string;

/** See the head of this file. */
export class PickedKeyAgent extends ssh2.BaseAgent {
  readonly #agent: BaseAgent;
  readonly #publicKey: Buffer;

  constructor(agent: BaseAgent, publicKey: Buffer) {
    super();
    this.#agent = agent;
    this.#publicKey = publicKey;
  }

  override getIdentities(callback: IdentityCallback<AnyKey>): void {
    this.#agent.getIdentities((error, keys) => {
      if (error) callback(error);
      else
        callback(
          undefined,
          (keys ?? []).filter((key) => this.#isIt(key)),
        );
    });
  }

  override sign(
    key: AnyKey,
    data: Buffer,
    options: SigningRequestOptions | SignCallback,
    callback?: SignCallback,
  ): void {
    if (typeof options === "function") this.#agent.sign(key, data, options);
    else this.#agent.sign(key, data, options, callback);
  }

  #isIt(key: object | string): boolean {
    return (
      typeof key === "object" && "getPublicSSH" in key && (key as ParsedKey).getPublicSSH().equals(this.#publicKey)
    );
  }
}
