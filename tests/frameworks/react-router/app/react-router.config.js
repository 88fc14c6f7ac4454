export default {
  ssr: true,
  // The name by which people know the site; the tests have another.
  allowedActionOrigins: [process.env.PUBLIC_HOST ?? "app.example.com"],
};
