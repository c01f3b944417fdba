import { checksOf } from "./check.ts";
import type { Check } from "./check.ts";
import { interruptAnswerRequirements } from "./interrupt-answers.ts";
import { routeRequirements } from "./interrupt-routes.ts";
import { InterruptsUnderTest } from "./interrupts-under-test.ts";
import type { InterruptRemapperHarness } from "./interrupts-under-test.ts";

/**
 * Whether a remapper of interrupts keeps the contract of the port: any request gets an answer,
 * messages are complete and have the form of an MSI, `probe` has no effect.
 */
export function interruptRemapperConformance(
  make: () => InterruptRemapperHarness,
): readonly Check[] {
  return checksOf(
    () => new InterruptsUnderTest(make()),
    [...interruptAnswerRequirements(), ...routeRequirements()],
  );
}
