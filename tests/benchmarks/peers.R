# Times one fit of a peer: Rscript peers.R NAME TABLE.csv prints seconds and log-likelihood (NA where there is none),
# or "absent" where the package is not installed. Reading the table and loading packages are not timed.
arguments <- commandArgs(trailingOnly = TRUE)
peer <- arguments[1]
table <- read.csv(arguments[2], stringsAsFactors = TRUE)

needed <- list(gls = "nlme", lmer = "lme4", lmerTest = "lmerTest", pbkrtest = c("lmerTest", "pbkrtest"))[[peer]]
for (package in needed) {
  if (!suppressPackageStartupMessages(suppressWarnings(require(package, character.only = TRUE, quietly = TRUE)))) {
    cat("absent\n")
    quit(status = 0)
  }
}

line <- y ~ arm * day + (1 + day | id)
work <- switch(peer,
  gls = function() {
    table$place <- as.integer(table$visit)
    gls(y ~ arm * visit, table, correlation = corSymm(form = ~ place | id), weights = varIdent(form = ~ 1 | visit),
        method = "REML")
  },
  lmer = function() lme4::lmer(line, table, REML = TRUE),
  lmerTest = function() {
    fit <- lmerTest::lmer(line, table, REML = TRUE)
    summary(fit)
    fit
  },
  pbkrtest = function() {
    fit <- lmerTest::lmer(line, table, REML = TRUE)
    summary(fit, ddf = "Kenward-Roger")
    fit
  })
seconds <- system.time(fit <- work())[["elapsed"]]
cat(sprintf("%.6f %.9f %s\n", seconds, as.numeric(logLik(fit)),
            paste(sapply(needed, function(each) paste(each, packageVersion(each))), collapse = ", ")))
