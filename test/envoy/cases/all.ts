/** Every group of cases. */
import type { CaseGroup } from "../types.ts";
import { answeringCases } from "./answering.ts";
import { bufferingCases } from "./buffering.ts";
import { changingCases } from "./changing.ts";
import { compressingCases } from "./compressing.ts";
import { connectingCases } from "./connecting.ts";
import { limitingCases } from "./limiting.ts";
import { managerCases } from "./manager.ts";
import { matchingCases } from "./matching.ts";
import { mirroringCases } from "./mirroring.ts";
import { operatorCases } from "./operators.ts";
import { originatingCases } from "./originating.ts";
import { ownAnswerCases } from "./own-answers.ts";
import { protectingCases } from "./protecting.ts";
import { retryingCases } from "./retrying.ts";
import { stickingCases } from "./sticking.ts";

export const allCases: readonly CaseGroup[] = [
  ...matchingCases,
  ...answeringCases,
  ...changingCases,
  ...operatorCases,
  ...managerCases,
  ...originatingCases,
  ...retryingCases,
  ...protectingCases,
  ...limitingCases,
  ...mirroringCases,
  ...bufferingCases,
  ...stickingCases,
  ...compressingCases,
  ...connectingCases,
  ...ownAnswerCases,
];
