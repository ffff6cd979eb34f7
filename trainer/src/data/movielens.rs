//! MovieLens-100K, in RecBole's files (`ml-100k.inter`, `.user`, `.item`: tab-separated with a typed header) or
//! GroupLens' (`u.data`, `u.user`, `u.item`: `|`-separated and Latin-1).

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use indicatif::ProgressBar;
use xsfm_interchange::rows::MAX_BAG;
use xsfm_interchange::schema::FieldKind;

use super::source::{DataError, RawField, RawRow, Source, Visit, Walk};

/// Genres of GroupLens' `u.item`, in the order of its last 19 columns; names as in its `u.genre`.
const GENRES: [&str; 19] = [
    "unknown",
    "Action",
    "Adventure",
    "Animation",
    "Children's",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Film-Noir",
    "Horror",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
];

/// A rating of this or more is a click.
const POSITIVE_RATING: f64 = 4.0;

/// The fields of a row, in its order; genres are the bag.
const FIELDS: [&str; 7] = ["user", "item", "age", "gender", "occupation", "release_year", "genres"];
/// Place of the user in a row.
pub const USER: usize = 0;
/// Place of the film in a row.
pub const ITEM: usize = 1;

/// A film.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Film {
    /// Its number, as text.
    pub id: String,
    /// Its title.
    pub title: String,
    year: String,
    genres: Vec<String>,
}

#[derive(Clone, Debug)]
struct User {
    age: String,
    gender: String,
    occupation: String,
}

/// The data set: users and films in memory, ratings streamed.
#[derive(Debug)]
pub struct MovieLens {
    fields: Vec<RawField>,
    ratings: Table,
    users: HashMap<String, User>,
    films: Vec<Film>,
    film_places: HashMap<String, usize>,
}

/// How a file is laid out.
#[derive(Clone, Debug)]
struct Table {
    path: PathBuf,
    separator: char,
    has_header: bool,
    columns: Vec<&'static str>,
    /// Number of columns of a line.
    width: usize,
}

impl MovieLens {
    /// Reads users and films of a folder.
    ///
    /// # Errors
    /// The folder has neither set of files, or a file is malformed.
    pub fn open(folder: &Path) -> Result<Self, DataError> {
        let table = |name: &str, separator, has_header, columns: &[&'static str], width| Table {
            path: folder.join(name),
            separator,
            has_header,
            columns: columns.to_vec(),
            width,
        };
        let recbole = folder.join("ml-100k.inter").exists();
        if !recbole && !folder.join("u.data").exists() {
            return Err(DataError::file(
                folder,
                "neither ml-100k.inter (RecBole) nor u.data (GroupLens) is in this folder",
            ));
        }
        let (ratings, users, films) = if recbole {
            (
                table("ml-100k.inter", '\t', true, &["user_id", "item_id", "rating", "timestamp"], 4),
                table("ml-100k.user", '\t', true, &["user_id", "age", "gender", "occupation", "zip_code"], 5),
                table("ml-100k.item", '\t', true, &["item_id", "movie_title", "release_year", "class"], 4),
            )
        } else {
            (
                table("u.data", '\t', false, &["user_id", "item_id", "rating", "timestamp"], 4),
                table("u.user", '|', false, &["user_id", "age", "gender", "occupation", "zip_code"], 5),
                table("u.item", '|', false, &["item_id", "movie_title", "release_date"], 24),
            )
        };
        let kind = |name: &str| if name == "genres" { FieldKind::Bag } else { FieldKind::Categorical };
        let field = |name: &str| RawField { name: name.to_owned(), kind: kind(name), min_count: 1, max_bag: MAX_BAG };
        let mut data = MovieLens {
            fields: FIELDS.into_iter().map(field).collect(),
            ratings,
            users: HashMap::new(),
            films: Vec::new(),
            film_places: HashMap::new(),
        };
        users.lines(|_, _, cells| {
            let user = User { age: cells[1].into(), gender: cells[2].into(), occupation: cells[3].into() };
            let earlier = data.users.insert(cells[0].to_owned(), user);
            earlier.map_or(Ok(()), |_| Err(format!("user {} comes twice", cells[0])))
        })?;
        films.lines(|_, _, cells| {
            let (year, genres) = if recbole {
                (cells[2].to_owned(), cells[3].split_whitespace().map(str::to_owned).collect())
            } else {
                grouplens_film(cells)?
            };
            let (id, title) = (cells[0].to_owned(), cells[1].to_owned());
            let earlier = data.film_places.insert(id.clone(), data.films.len());
            data.films.push(Film { id, title, year, genres });
            earlier.map_or(Ok(()), |_| Err(format!("film {} comes twice", cells[0])))
        })?;
        Ok(data)
    }

    /// All films, in the order of their file.
    pub fn films(&self) -> &[Film] {
        &self.films
    }

    /// Fills `row` with the tokens of a user and a film; false where there is no such user.
    pub fn fill(&self, row: &mut RawRow, user_id: &str, film: &Film) -> bool {
        let Some(user) = self.users.get(user_id) else { return false };
        row.clear();
        for token in [user_id, &film.id, &user.age, &user.gender, &user.occupation, &film.year] {
            row.push_field(token);
        }
        film.genres.iter().for_each(|genre| row.push_token(genre));
        row.end_field();
        true
    }
}

/// Release year and genres of a line of `u.item`: `id|title|01-Jan-1995|video date|URL|19 flags`.
fn grouplens_film(cells: &[&str]) -> Result<(String, Vec<String>), String> {
    let year = cells[2].rsplit('-').next().unwrap_or("").to_owned();
    let mut genres = Vec::new();
    for (flag, genre) in cells[5..].iter().zip(GENRES) {
        match *flag {
            "0" => {}
            "1" => genres.push(genre.to_owned()),
            other => return Err(format!("genre {genre:?}: {other:?}, 0 or 1 expected")),
        }
    }
    Ok((year, genres))
}

impl Table {
    /// Visits all lines behind the header: number of the line from 1, bytes read so far, cells.
    fn lines(&self, mut visit: impl FnMut(u64, u64, &[&str]) -> Result<(), String>) -> Result<(), DataError> {
        self.try_lines(|line, bytes, cells| {
            visit(line, bytes, cells).map_err(|what| DataError::row(&self.path, line, what))
        })
    }

    fn try_lines(&self, mut visit: impl FnMut(u64, u64, &[&str]) -> Result<(), DataError>) -> Result<(), DataError> {
        let path = &self.path;
        let mut input = BufReader::new(File::open(path).map_err(DataError::io(path))?);
        let (mut bytes, mut line, mut buffer) = (0, 0, Vec::new());
        loop {
            buffer.clear();
            let read = input.read_until(b'\n', &mut buffer).map_err(DataError::io(path))?;
            if read == 0 {
                break;
            }
            bytes += read as u64;
            line += 1;
            let latin1;
            let text = if self.has_header {
                str::from_utf8(&buffer).map_err(|e| DataError::row(path, line, format!("not UTF-8: {e}")))?
            } else {
                // Latin-1 is the first 256 characters of Unicode.
                latin1 = buffer.iter().map(|&b| char::from(b)).collect::<String>();
                &latin1
            };
            let cells: Vec<&str> = text.trim_end_matches(['\n', '\r']).split(self.separator).collect();
            if cells.len() != self.width {
                let what = format!("{} columns, {} expected", cells.len(), self.width);
                return Err(DataError::row(path, line, what));
            }
            if self.has_header && line == 1 {
                // `user_id:token`: the type behind the colon is RecBole's.
                for (cell, wanted) in cells.iter().zip(&self.columns) {
                    let name = cell.split(':').next().unwrap_or("");
                    if name != *wanted {
                        return Err(DataError::row(path, line, format!("column {name:?}, {wanted:?} expected")));
                    }
                }
                continue;
            }
            visit(line, bytes, &cells)?;
        }
        if line == 0 { Err(DataError::file(path, "an empty file")) } else { Ok(()) }
    }
}

impl Source for MovieLens {
    fn fields(&self) -> &[RawField] {
        &self.fields
    }

    fn label(&self) -> &str {
        "rating is at least 4"
    }

    fn path(&self) -> &Path {
        &self.ratings.path
    }

    fn pass(&self, progress: &ProgressBar, visit: Visit<'_>) -> Result<Walk, DataError> {
        let (mut walk, mut row) = (Walk::default(), RawRow::default());
        self.ratings.try_lines(|line, bytes, cells| {
            let bad = |what: String| DataError::row(&self.ratings.path, line, what);
            let number = |name: &str, cell: &str| {
                let value = cell.parse().ok().filter(|v: &f64| v.is_finite());
                value.ok_or_else(|| bad(format!("field {name:?}: {cell:?} is not a number")))
            };
            row.number = walk.rows;
            walk.rows += 1;
            row.label = u8::from(number("rating", cells[2])? >= POSITIVE_RATING);
            row.time = Some(number("timestamp", cells[3])?);
            let place = self.film_places.get(cells[1]);
            let &place = place.ok_or_else(|| bad(format!("field \"item_id\": no film {:?}", cells[1])))?;
            if !self.fill(&mut row, cells[0], &self.films[place]) {
                return Err(bad(format!("field \"user_id\": no user {:?}", cells[0])));
            }
            if walk.rows % 4096 == 0 {
                progress.set_position(bytes);
            }
            visit(&row)
        })?;
        Ok(walk)
    }
}
