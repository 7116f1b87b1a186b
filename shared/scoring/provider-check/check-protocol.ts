/** What the process that tries a provider tells the one that started it. */
export type ProviderFinding =
  /** It ran; whether the numbers are right is the asker's to judge. */
  | {
      readonly type: 'ran';
      /** Largest distance to the CPU's answer, over the largest value in that. */
      readonly difference: number;
      readonly runMs: number;
      readonly cpuMs: number;
      /** Nodes by the provider that ran them; absent where unknown. */
      readonly nodes?: Readonly<Record<string, number>>;
    }
  /** onnxruntime did not take it, with the first line of its words. */
  | { readonly type: 'refused'; readonly reason: string };
