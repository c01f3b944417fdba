/** What is counted instead of timed; measured by scripts of their own. */
export const steady = [
  {
    id: "collections",
    title: "garbage collections in 20 million translations",
    unit: "",
    packages: ["translation"],
    goals: [{ atMost: 0 }],
  },
  {
    id: "deoptimizations",
    title: "deoptimizations in 20 million translations, 10 million interrupts",
    unit: "",
    packages: ["translation", "interrupt-remapping"],
    goals: [{ atMost: 0 }],
  },
];

export const cold = [
  {
    id: "cold",
    title: "first 10,000 translations of a process",
    unit: "ms",
    packages: ["translation"],
    goals: [{ atMost: 10 }],
  },
];
