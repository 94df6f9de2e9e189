"""What a page shows into what Plotly draws. Pure: values in, a plain dict out."""
