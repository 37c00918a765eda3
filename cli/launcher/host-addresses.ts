/** The host's own addresses at this moment: what leaves the cluster for one of them comes to the host itself. */
import { networkInterfaces } from "node:os";

export function hostAddresses(): readonly string[] {
  return Object.values(networkInterfaces()).flatMap((all = []) => all.map(({ address }) => address));
}
