/**
 * Signs and checks the cluster's own tokens: JSON Web Tokens under ES256 (RFC 7519, RFC 7518 section 3.4).
 *
 *   pki/sa.key ─▶ openTokenSigner() ─▶ sign(claims) ─▶ token ─▶ verify() ─▶ claims
 *                                 └─▶ keys: the public half, for /openid/v1/jwks
 *
 * Invariant: `verify` gives claims only for a token that this key signed; what they mean (audience, time, object) is
 * the caller's to check. Nothing else but ES256 is ever accepted, whatever a token says of itself.
 */
import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, sign, verify } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export type Claims = Readonly<Record<string, unknown>>;

export interface TokenSigner {
  sign(claims: Claims): string;
  /** The claims of a token of ours; undefined for any other text. */
  verify(token: string): Claims | undefined;
  /** RFC 7517: `{ keys: […] }`. */
  readonly keys: { readonly keys: readonly Readonly<Record<string, unknown>>[] };
  /** The algorithm, for discovery. */
  readonly algorithm: "ES256";
}

/** Longest token that is looked at, in characters. Ours have about 1000. */
const tokenLengthMax = 16 * 1024;
const encoding = "ieee-p1363";

/** The signer of the cluster whose PKI is in `dir`, with a key made on first use, mode 0600. */
export function openTokenSigner(dir: string): TokenSigner {
  const file = join(dir, "sa.key");
  if (!existsSync(file)) {
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    writeFileSync(`${file}.new`, makeTokenKey(), { mode: 0o600 });
    renameSync(`${file}.new`, file);
  }
  return createTokenSigner(readFileSync(file, "utf8"));
}

/** A new private key, PEM text. */
export function makeTokenKey(): string {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return privateKey.export({ type: "pkcs8", format: "pem" });
}

/** The signer with this private key, PEM text. */
export function createTokenSigner(pem: string): TokenSigner {
  const privateKey = createPrivateKey(pem);
  const publicKey = createPublicKey(privateKey);
  const kid = createHash("sha256")
    .update(publicKey.export({ type: "spki", format: "der" }))
    .digest("base64url");
  const head = encodeJSON({ alg: "ES256", kid });
  return {
    algorithm: "ES256",
    keys: { keys: [{ use: "sig", ...publicKey.export({ format: "jwk" }), kid, alg: "ES256" }] },
    sign: (claims) => {
      const signed = `${head}.${encodeJSON(claims)}`;
      const signature = sign("sha256", Buffer.from(signed), { key: privateKey, dsaEncoding: encoding });
      return `${signed}.${signature.toString("base64url")}`;
    },
    verify: (token) => {
      if (token.length > tokenLengthMax) return undefined;
      const [sentHead = "", body = "", signature = "", ...more] = token.split(".");
      // One key, one algorithm: any other head is another issuer's.
      if (sentHead !== head || more.length > 0) return undefined;
      const key = { key: publicKey, dsaEncoding: encoding } as const;
      const isOurs = verify("sha256", Buffer.from(`${sentHead}.${body}`), key, Buffer.from(signature, "base64url"));
      return isOurs ? decodeJSON(body) : undefined;
    },
  };
}

function encodeJSON(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}

/** Signed by us, so it is an object that we made. */
function decodeJSON(text: string): Claims {
  return JSON.parse(Buffer.from(text, "base64url").toString()) as Claims;
}
