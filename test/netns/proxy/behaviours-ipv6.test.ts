/** kube-proxy's behaviours against the real kernel, in IPv6. */
import { showBehaviours } from "./inside.ts";

showBehaviours("IPv6");
