/** kube-proxy's behaviours against the real kernel, in IPv4. */
import { showBehaviours } from "./inside.ts";

showBehaviours("IPv4");
