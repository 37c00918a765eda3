/**
 * Addresses that Services, Endpoints and EndpointSlices may not lead to: they mean something else on each machine.
 * Pure.
 *
 * Follows: k8s.io/kubernetes pkg/apis/core/validation ValidateNonSpecialIP, for IPv4, which is all there is here.
 */
import { type FieldError, invalidValue } from "../schema/field-error.ts";

/** First octets, with a dot where an octet ends. */
const special: readonly (readonly [start: string, sentence: string])[] = [
  ["127.", "may not be in the loopback range (127.0.0.0/8, ::1/128)"],
  ["169.254.", "may not be in the link-local range (169.254.0.0/16, fe80::/10)"],
  ["224.0.0.", "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"],
];

/** What is wrong with an IPv4 address that is well written. */
export function specialAddressErrors(path: string, address: string): FieldError[] {
  if (address === "0.0.0.0") return [invalidValue(path, address, `may not be unspecified (${address})`)];
  return special.flatMap(([start, sentence]) =>
    address.startsWith(start) ? [invalidValue(path, address, sentence)] : [],
  );
}
