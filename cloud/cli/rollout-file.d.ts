/** `rollout.yaml`: releases and rollouts as one file of several documents, checked as the server will. Pure. */
import * as z from 'zod';
import type { ReleaseContents } from '#cloud/http/schemas/releases.js';
export declare const rolloutFile: z.ZodObject<
  {
    kind: z.ZodLiteral<'rollout'>;
    release: z.ZodString;
    fleet: z.ZodString;
    policy: z.ZodPrefault<
      z.ZodObject<
        {
          waves: z.ZodDefault<
            z.ZodArray<
              z.ZodUnion<
                readonly [
                  z.ZodObject<
                    {
                      bakeSeconds: z.ZodDefault<z.ZodInt>;
                      approval: z.ZodDefault<z.ZodBoolean>;
                      where: z.ZodString;
                    },
                    z.core.$strict
                  >,
                  z.ZodObject<
                    {
                      bakeSeconds: z.ZodDefault<z.ZodInt>;
                      approval: z.ZodDefault<z.ZodBoolean>;
                      percent: z.ZodNumber;
                    },
                    z.core.$strict
                  >,
                  z.ZodObject<
                    {
                      bakeSeconds: z.ZodDefault<z.ZodInt>;
                      approval: z.ZodDefault<z.ZodBoolean>;
                      count: z.ZodInt;
                    },
                    z.core.$strict
                  >,
                ]
              >
            >
          >;
          maxUnavailable: z.ZodDefault<z.ZodUnion<readonly [z.ZodInt, z.ZodString]>>;
          rate: z.ZodOptional<
            z.ZodObject<
              {
                perMinute: z.ZodInt;
                factor: z.ZodDefault<z.ZodNumber>;
                everySucceeded: z.ZodDefault<z.ZodInt>;
                maxPerMinute: z.ZodDefault<z.ZodInt>;
              },
              z.core.$strict
            >
          >;
          success: z.ZodPrefault<
            z.ZodObject<
              {
                minPercent: z.ZodDefault<z.ZodNumber>;
              },
              z.core.$strict
            >
          >;
          failure: z.ZodPrefault<
            z.ZodObject<
              {
                maxPercent: z.ZodDefault<z.ZodNumber>;
                minExecuted: z.ZodDefault<z.ZodInt>;
              },
              z.core.$strict
            >
          >;
          unreachable: z.ZodPrefault<
            z.ZodObject<
              {
                afterSeconds: z.ZodDefault<z.ZodInt>;
                maxPercent: z.ZodDefault<z.ZodNumber>;
              },
              z.core.$strict
            >
          >;
          onFailure: z.ZodDefault<
            z.ZodEnum<{
              pause: 'pause';
              stop: 'stop';
              rollback: 'rollback';
            }>
          >;
          stepTimeoutSeconds: z.ZodDefault<z.ZodInt>;
          totalTimeoutSeconds: z.ZodDefault<z.ZodInt>;
          retries: z.ZodPrefault<
            z.ZodObject<
              {
                never: z.ZodDefault<
                  z.ZodObject<
                    {
                      attempts: z.ZodInt;
                      backoffSeconds: z.ZodDefault<z.ZodInt>;
                    },
                    z.core.$strict
                  >
                >;
                later: z.ZodDefault<
                  z.ZodObject<
                    {
                      attempts: z.ZodInt;
                      backoffSeconds: z.ZodDefault<z.ZodInt>;
                    },
                    z.core.$strict
                  >
                >;
                changed: z.ZodDefault<
                  z.ZodObject<
                    {
                      attempts: z.ZodInt;
                      backoffSeconds: z.ZodDefault<z.ZodInt>;
                    },
                    z.core.$strict
                  >
                >;
                timeout: z.ZodDefault<
                  z.ZodObject<
                    {
                      attempts: z.ZodInt;
                      backoffSeconds: z.ZodDefault<z.ZodInt>;
                    },
                    z.core.$strict
                  >
                >;
              },
              z.core.$strict
            >
          >;
          lateJoiners: z.ZodDefault<
            z.ZodEnum<{
              ignore: 'ignore';
              follow: 'follow';
            }>
          >;
          windows: z.ZodOptional<
            z.ZodArray<
              z.ZodObject<
                {
                  cron: z.ZodString;
                  durationSeconds: z.ZodInt;
                  timeZone: z.ZodOptional<z.ZodString>;
                },
                z.core.$strict
              >
            >
          >;
          freeze: z.ZodOptional<
            z.ZodArray<
              z.ZodObject<
                {
                  from: z.ZodISODateTime;
                  until: z.ZodISODateTime;
                  reason: z.ZodOptional<z.ZodString>;
                },
                z.core.$strict
              >
            >
          >;
          prefetch: z.ZodOptional<
            z.ZodUnion<
              readonly [
                z.ZodLiteral<true>,
                z.ZodObject<
                  {
                    wavesAhead: z.ZodDefault<z.ZodInt>;
                    atOnce: z.ZodDefault<z.ZodInt>;
                  },
                  z.core.$strict
                >,
              ]
            >
          >;
          gates: z.ZodOptional<z.ZodNever>;
          shadow: z.ZodOptional<z.ZodNever>;
          layers: z.ZodOptional<z.ZodNever>;
        },
        z.core.$strict
      >
    >;
    supersede: z.ZodDefault<z.ZodBoolean>;
  },
  z.core.$strict
>;
export type RolloutOrder = Omit<z.output<typeof rolloutFile>, 'kind'>;
export type AppliedDocument =
  | {
      readonly kind: 'release';
      readonly contents: ReleaseContents;
    }
  | {
      readonly kind: 'rollout';
      readonly order: RolloutOrder;
    };
/** @throws AppError `request.invalid`, naming the document, the field and the nearest valid one */
export declare function readAppliedFile(values: readonly unknown[], where: string): AppliedDocument[];
//# sourceMappingURL=rollout-file.d.ts.map
