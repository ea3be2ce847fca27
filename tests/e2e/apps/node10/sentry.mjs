// The older SDK under a name that programs outside this folder can import.
export * from '@sentry/node';
