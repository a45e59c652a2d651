"""What neighbours tell: estimates with error bars, classes, outliers."""
